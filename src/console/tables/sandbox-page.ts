/**
 * The text of `blazar inspect`: all about one sandbox, in sections.
 */
import type { ChartState, RunningDeadline, SandboxDetail } from "../../contracts/inspection.ts";
import { harmless } from "../../lib/harmless.ts";
import { podName } from "../named.ts";
import { age, clockTime, moment, size, span } from "../quantities.ts";
import type { Screen } from "../screen.ts";
import { paintedState } from "./sandbox-table.ts";
import { fields, table, wrapped } from "./table.ts";
import { entryText } from "./waterfall.ts";

/** Entries of the history that are shown; `timeline` has all. */
const LAST = 12;

export function sandboxPage(detail: SandboxDetail, screen: Screen): string {
  const { charts, deadlines, resources, history, forgotten } = detail;
  const section = (title: string, text: string) =>
    text === "" ? "" : `\n${screen.paint.bold(title)}\n${text}`;
  const last = history.slice(-LAST);
  const before = history.length - last.length + forgotten;
  const shown = before === 0 ? "History" : `History (${before} earlier: blazar timeline)`;
  return [
    facts(detail, screen),
    section("Why", wrapped(harmless(detail.why, { most: 4096 }), Math.min(screen.columns, 100))),
    section(
      "Charts",
      table(
        charts.map((chart) => chartRow(chart, screen)),
        screen,
      ),
    ),
    section(
      "Deadlines",
      table(
        deadlines.map((each) => deadlineRow(each, screen)),
        screen,
      ),
    ),
    section(
      "Held on the host",
      table(
        resources.map(({ kind, description, since }) => [
          harmless(kind),
          age(screen.now - since),
          harmless(description),
        ]),
        screen,
      ),
    ),
    section(
      shown,
      table(
        last.map((entry) => [
          clockTime(entry.at),
          entry.ms === undefined ? "" : span(entry.ms),
          entryText(entry),
        ]),
        screen,
      ),
    ),
    section("Info", infoText(detail.info, screen)),
  ].join("");
}

function facts({ summary }: SandboxDetail, screen: Screen): string {
  const { now, paint } = screen;
  const ended =
    summary.endedAt === undefined
      ? []
      : [["Ended", `${moment(summary.endedAt)}, ${age(now - summary.endedAt)} ago`] as const];
  const { failure, stuck } = summary;
  return fields(
    [
      ["Id", harmless(summary.id)],
      ["Pod", podName(summary)],
      ["Uid", `${harmless(summary.pod.uid)}, attempt ${summary.pod.attempt}`],
      ["State", `${paintedState(summary, paint)} for ${age(now - summary.since)}`],
      ["Created", `${moment(summary.createdAt)}, ${age(now - summary.createdAt)} ago`],
      ...ended,
      [
        "Start",
        summary.startMs === undefined ? "-" : `${span(summary.startMs)}, by ${harmless(summary.path)}`,
      ],
      [
        "VM",
        `${summary.vcpus} CPU${summary.vcpus === 1 ? "" : "s"}, ${size(summary.memoryBytes)}, ${summary.pid === 0 ? "no VMM" : `VMM ${summary.pid}`}`,
      ],
      ["Containers", `${summary.containers}`],
      ...(stuck === undefined ? [] : [["Stuck", paint.red(harmless(stuck))] as const]),
      ...(failure === undefined
        ? []
        : [["Failure", paint.red(`${harmless(failure.code)}: ${harmless(failure.message)}`)] as const]),
    ],
    screen,
  );
}

function chartRow({ key, active, since }: ChartState, { now, paint }: Screen): string[] {
  return [harmless(key), paint.cyan(harmless(active.at(-1) ?? "")), age(now - since)];
}

function deadlineRow({ name, chart, state, wait, endsAt }: RunningDeadline, { now }: Screen): string[] {
  const left = endsAt >= now ? `${span(endsAt - now)} left` : `${span(now - endsAt)} over`;
  return [harmless(name), left, `${harmless(chart)} ${harmless(state)}`, harmless(wait)];
}

function infoText(info: Readonly<Record<string, string>>, screen: Screen): string {
  const rows = Object.entries(info).map(([name, value]) => [harmless(name), harmless(value)] as const);
  return rows.length === 0 ? "" : fields(rows, screen);
}
