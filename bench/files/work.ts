/**
 * What `files` has a container do: shell texts, and how their time is taken inside the container.
 *
 * The time is the shell's: read before and after the work by the same shell, so that exec, shell and the way to the
 * container are left out. bash has a clock of microseconds. Other shells read /proc/uptime, in hundredths of a second.
 * Nothing is started for a reading. Pure.
 */

/** What a container has to do, named as in tables. */
export interface Work {
  readonly name: string;
  /** One line for the reader. */
  readonly what: string;
  /** A program that the image must have, beside a shell. */
  readonly needs?: string;
  /** Not timed, before the first. */
  readonly prepare?: (files: ImageFiles) => readonly string[];
  /** `turn` is 1 for `first` and 2 for `again`. */
  readonly run: (files: ImageFiles, turn: number) => string;
}

/** Files of the image that the work reads. */
export interface ImageFiles {
  readonly small: readonly string[];
  readonly big: string;
}

/** Work that touches no file, in each pod before all else: what plain computing costs there and then. */
export const COMPUTING = {
  name: "md5sum of 50 MB",
  what: "of zeros through a pipe; no file is read",
  run: "head -c 52428800 /dev/zero | md5sum",
};

const SMALL_FILES = 2_000;
const PACKED_FILES = 1_000;
/** Paths in one command: the list goes in as arguments. */
const PATHS_AT_ONCE = 150;
/** Of 512 bytes, as find(1) counts. */
const SMALL_BLOCKS = 16;
const BIG_BLOCKS = 8_192;
const LIST = "/tmp/bench-list";
const TAR = "/tmp/bench.tar";
const SQL = "/tmp/bench.sql";
const TRANSACTIONS = 200;

/** In the order of the tables. */
export const WORK: readonly Work[] = [
  { name: "find", what: "`find / -xdev`, all names of the image", run: () => "find / -xdev" },
  {
    name: "2,000 small files",
    what: "read by `cat`, of up to 8 KB, in random order",
    prepare: ({ small }) => listed(small.slice(0, SMALL_FILES)),
    run: () => `xargs cat < ${LIST}`,
  },
  { name: "one big file", what: "the largest of the image, read by `cat`", run: ({ big }) => `cat '${big}'` },
  {
    name: "untar of 1,000 files",
    what: "from a tar in the writable layer into a new directory",
    needs: "tar",
    prepare: ({ small }) => [...listed(small.slice(0, PACKED_FILES)), `tar -cf ${TAR} -T ${LIST} && sync`],
    run: (_, turn) => `mkdir /tmp/bench-${turn} && tar -xf ${TAR} -C /tmp/bench-${turn}`,
  },
  {
    name: "Python start",
    what: "`python3 -c 'import asyncio, json, logging, sqlite3'`",
    needs: "python3",
    run: () => "python3 -c 'import asyncio, json, logging, sqlite3'",
  },
  {
    name: "Node start",
    what: "`node -e 'require(\"http\")'`",
    needs: "node",
    run: () => "node -e 'require(\"http\")'",
  },
  {
    name: "sqlite WAL",
    what: `${TRANSACTIONS} transactions of one row, each synced`,
    needs: "sqlite3",
    prepare: () => [
      `{ echo 'PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(a, b);'; ` +
        `i=0; while [ $i -lt ${TRANSACTIONS} ]; do echo "INSERT INTO t VALUES($i, hex(randomblob(50)));"; i=$((i+1)); done; } > ${SQL}; sync`,
    ],
    run: () => `sqlite3 /tmp/bench.db < ${SQL}`,
  },
  {
    name: "fsync",
    what: "100 blocks of 4 KB by dd, each synced (O_DSYNC)",
    needs: "dd",
    run: () => "dd if=/dev/zero of=/tmp/bench-synced bs=4096 count=100 oflag=dsync",
  },
];

/** Commands that write a list of files into the container. */
function listed(paths: readonly string[]): string[] {
  const commands = [`: > ${LIST}`];
  for (let from = 0; from < paths.length; from += PATHS_AT_ONCE) {
    const words = paths.slice(from, from + PATHS_AT_ONCE).map((path) => `'${path}'`);
    commands.push(`printf '%s\\n' ${words.join(" ")} >> ${LIST}`);
  }
  return commands;
}

/** Prints every file that {@link readImageFiles} may choose: its size and its name. */
export const FIND_FILES =
  `find / -xdev -type f -size +0 -size -${SMALL_BLOCKS + 1} ! -path '/tmp/*' -exec printf '%s\\n' {} +; ` +
  `find / -xdev -type f -size +${BIG_BLOCKS} ! -path '/tmp/*' -exec stat -c 'big %s %n' {} +`;

/** Chooses the files out of what {@link FIND_FILES} has printed. Undefined if there are too few. */
export function readImageFiles(
  printed: string,
  shuffle: (paths: readonly string[]) => readonly string[],
): ImageFiles | undefined {
  const lines = printed.split("\n");
  const plain = /^\/[\w./@+:=,-]+$/;
  const small = shuffle(lines.filter((line) => plain.test(line)).sort());
  const [big] = lines
    .map((line) => /^big (\d+) (\S+)$/.exec(line))
    .flatMap((match) => (match === null ? [] : [{ size: Number(match[1]), path: match[2] ?? "" }]))
    .filter(({ path }) => plain.test(path))
    .sort((a, b) => b.size - a.size);
  if (small.length < SMALL_FILES || big === undefined) return undefined;
  return { small: small.slice(0, SMALL_FILES), big: big.path };
}

/**
 * A shell text that does the work and prints when it began and ended, and the status it ended with.
 * @param errors a file for what the work says of errors, whose last line goes to standard error
 */
export function timed(work: string, errors: string = "/tmp/bench-error"): string {
  const now = (name: string) =>
    `if [ -n "\${EPOCHREALTIME:-}" ]; then ${name}=$EPOCHREALTIME; else read ${name} _ < /proc/uptime; fi`;
  return `${now("begin")}; { ${work}; } > /dev/null 2> ${errors}; status=$?; ${now("end")}; echo "$begin $end $status"; tail -n 1 ${errors} >&2`;
}

/** Milliseconds out of what {@link timed} has printed; undefined if the work failed. */
export function readTime(printed: string): number | undefined {
  const [, begin, end, status] = /^([\d.]+) ([\d.]+) (\d+)$/.exec(printed.trim()) ?? [];
  if (status !== "0") return undefined;
  return (Number(end) - Number(begin)) * 1000;
}
