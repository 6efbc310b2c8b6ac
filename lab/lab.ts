/**
 * `npm run lab -- COMMAND`: the lab's tools for people. So far one: an emulated host.
 */
import { Command } from "commander";
import { command as runCommand } from "../setup/lib/entry.ts";
import { streamProgress } from "../setup/lib/progress.ts";
import { ensureArtifacts } from "../setup/steps/artifacts.ts";
import { isMisuse } from "../src/contracts/misuse.ts";
import { BOOT_SECONDS, type HostFlags, readHostRequest } from "./emulated-host/arguments.ts";
import { runInHost } from "./emulated-host/host.ts";
import { OUTPUT_AT } from "./emulated-host/job.ts";
import { hostParts } from "./emulated-host/parts.ts";

/** As of blazar's own commands: a command line that is wrong, and nothing done. */
const MISUSE = 64;
const NOTHING_DONE = 70;

const HOST_HELP = `
Boots a machine under software emulation whose processor has AMD-V, so that /dev/kvm in it works, with cgroup v2 only and
without a network. The checkout and the cache are where they are here; whatever is written is gone with the machine, but for
what goes to ${OUTPUT_AT}. Without a command it gives a shell. Streams, terminal and exit code are the command's; 70 says that
there was no machine, 64 that this command line is wrong. Signals end the machine.

  npm run -s lab -- host -- uname -a
  npm run -s lab -- host --output /tmp/results -- npm run bench -- start --runs 10
  npm run -s lab -- host --systemd -- systemctl status
`;

async function host(command: readonly string[], flags: HostFlags): Promise<number> {
  const request = readHostRequest(flags, command);
  const progress = streamProgress();
  return runInHost(request, await hostParts(await ensureArtifacts(progress), request.kind, progress));
}

function program(): Command {
  const cli = new Command("lab").description("Tools of the lab.").showHelpAfterError().exitOverride();
  cli
    .command("host")
    .description("an emulated machine with KVM and cgroup v2, for one command or a shell")
    .argument("[command...]", "after --; default: a shell")
    .option("--systemd", "a small Debian with systemd as PID 1; default: this machine's own root, read-only")
    .option("--memory <size>", "such as 4G; default: 8G, taken as it is used")
    .option("--cpus <n>", "default: as many as this machine has")
    .option("--output <directory>", `the command may write there, by the name ${OUTPUT_AT}`)
    .option("--verbose", "the emulated kernel's console on stderr")
    .option(
      "--boot-deadline <seconds>",
      `until the command runs; default: ${BOOT_SECONDS.plain}, with systemd ${BOOT_SECONDS.systemd}`,
    )
    .addHelpText("after", HOST_HELP)
    .action(async (command: string[], flags: HostFlags) => {
      process.exitCode = await host(command, flags);
    });
  return cli;
}

await runCommand(async () => {
  try {
    await program().parseAsync(process.argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // commander has said what was wrong, or shown the help
    if (error instanceof Error && "exitCode" in error) return error.exitCode === 0 ? 0 : MISUSE;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return isMisuse(error) ? MISUSE : NOTHING_DONE;
  }
});
