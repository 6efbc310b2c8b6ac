# commits with fixed names and dates, so that hashes can be compared; clone, push, repack, fsck
set -e
export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git config --global init.defaultBranch main
git config --global advice.detachedHead false
git config --global core.fsync all
git init -q --bare /data/origin.git
git clone -q /data/origin.git /data/one 2>/dev/null
cd /data/one
for round in 1 2 3; do
  for n in $(seq 150); do
    mkdir -p dir-$((n % 10))
    echo "$round $n" >> dir-$((n % 10))/file-$n
  done
  ln -sf dir-1 link-$round
  git add -A
  git commit -q -m "round $round"
done
git push -q origin main
answer "head $(git rev-parse HEAD)"
git clone -q /data/origin.git /data/two
cd /data/two
answer "clone $(git rev-parse HEAD), $(git ls-files | wc -l) files, status '$(git status --porcelain)'"
git mv dir-3 dir-moved
chmod +x dir-moved/file-3
git commit -q -a -m moved
git push -q origin main
cd /data/one
git pull -q --ff-only origin main
answer "pulled $(git rev-parse HEAD), status '$(git status --porcelain)'"
git gc -q --aggressive --prune=now
git fsck --full --strict >/tmp/fsck 2>&1 && answer "fsck: '$(cat /tmp/fsck)'"
answer "objects $(git rev-list --objects --all | wc -l)"
