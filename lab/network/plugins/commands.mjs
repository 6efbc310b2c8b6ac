/**
 * A CNI plugin of the tests (CNI specification 1.0): at ADD it runs the commands of its configuration, and hands on what
 * the plugin before it has made.
 *
 * `inPod` are commands in the pod's namespace, `onHost` in the node's, `onHostAtEnd` the same at DEL; `fail` says what to
 * fail with after them. The words NETNS, HOSTLINK, PODMAC and PODIP stand for the pod's
 * namespace and for what the plugin before it has made.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

const { CNI_COMMAND: command, CNI_NETNS: netns } = process.env;
const config = JSON.parse(readFileSync(0, "utf8"));
const made = config.prevResult;

function fail(message) {
  process.stdout.write(JSON.stringify({ cniVersion: "1.0.0", code: 100, msg: message }));
  process.exit(1);
}

function fill(line) {
  const pod = made?.interfaces?.find(({ sandbox }) => (sandbox ?? "") !== "");
  const hostLinks = made?.interfaces?.filter(({ sandbox }) => (sandbox ?? "") === "") ?? [];
  return line
    .replaceAll("HOSTLINK", hostLinks.at(-1)?.name ?? "")
    .replaceAll("NETNS", netns)
    .replaceAll("PODMAC", pod?.mac ?? "")
    .replaceAll("PODIP", made?.ips?.[0]?.address.split("/")[0] ?? "");
}

function run(prefix, lines = []) {
  for (const line of lines)
    execFileSync(prefix[0], [...prefix.slice(1), "sh", "-ec", fill(line)], {
      stdio: ["ignore", "ignore", "pipe"],
    });
}

if (command === "VERSION") {
  process.stdout.write(JSON.stringify({ cniVersion: "1.0.0", supportedVersions: ["0.4.0", "1.0.0"] }));
} else if (command === "ADD") {
  try {
    run(["nsenter", `--net=${netns}`], config.inPod);
    run(["env"], config.onHost);
  } catch (error) {
    fail(String(error.stderr ?? error));
  }
  if (config.fail !== undefined) fail(config.fail);
  process.stdout.write(JSON.stringify({ ...made, cniVersion: config.cniVersion }));
} else if (command === "DEL") {
  try {
    run(["env"], config.onHostAtEnd);
  } catch {
    // DEL comes more than once, and after an ADD that has failed
  }
}
