# another container of the pod: asks by the pod's loopback and compares with what the volume has
set -e
url=http://127.0.0.1:8080
curl -s --retry 100 --retry-connrefused --retry-delay 1 -o /tmp/page $url/
answer "page '$(cat /tmp/page)'"
curl -s -o /tmp/numbers $url/numbers.txt
cmp /tmp/numbers /data/www/numbers.txt && answer "numbers $(md5sum </tmp/numbers | cut -c1-32)"
answer "part $(curl -s -r 0-9 $url/numbers.txt | md5sum | cut -c1-32)"
answer "missing $(curl -s -o /dev/null -w '%{http_code}' $url/none)"
echo 'another page' >/data/www/index.html
answer "changed '$(curl -s $url/)'"
for n in $(seq 40); do curl -s -o /tmp/get-$n $url/numbers.txt & done; wait
answer "at once $(md5sum /tmp/get-* | cut -c1-32 | sort -u | wc -l)"
