# serves a directory of the volume by the configuration in the projected volume; ends when the client has asked for it
set -e
mkdir -p /data/www
echo 'a page on a volume' >/data/www/index.html
seq 200000 >/data/www/numbers.txt
exec nginx -c /config/nginx.conf
