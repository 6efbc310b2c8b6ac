/**
 * What containerd is told over all lives of the daemon: each process that has been started ends once, and with one status.
 */
import type { TaskEvent } from "../../src/contracts/task.ts";

export class Told {
  readonly problems: string[] = [];
  private heard = 0;
  /** Told to run, and not told to have ended. */
  private readonly running = new Set<string>();
  private readonly ended = new Set<string>();
  private readonly statuses = new Map<string, number>();

  constructor(private readonly events: readonly TaskEvent[]) {}

  /** Takes in what was told since the last time. */
  hear(): void {
    for (const event of this.events.slice(this.heard)) this.take(event);
    this.heard = this.events.length;
  }

  /** A container or a process of this name is new. */
  begins(container: string, execId: string): void {
    this.hear();
    for (const name of [...this.ended, ...this.running, ...this.statuses.keys()]) {
      if (name !== `${container}/${execId}` && !(execId === "" && name.startsWith(`${container}/`))) continue;
      if (this.running.delete(name)) this.problems.push(`nobody was told that ${name} has ended`);
      this.ended.delete(name);
      this.statuses.delete(name);
    }
  }

  /** A call has answered with an exit status. */
  answered(container: string, execId: string, status: number): void {
    const name = `${container}/${execId}`;
    const before = this.statuses.get(name) ?? status;
    if (before !== status) this.problems.push(`${name} ended with ${before}, and then with ${status}`);
    this.statuses.set(name, status);
  }

  /** Nobody has to be told of the end of what runs now. */
  forgetRunning(): void {
    this.hear();
    this.running.clear();
  }

  /** Everything has ended. */
  end(): void {
    this.hear();
    for (const name of this.running) this.problems.push(`nobody was told that ${name} has ended`);
  }

  private take(event: TaskEvent): void {
    if (event.type === "start") this.running.add(`${event.containerId}/`);
    else if (event.type === "exec-started") this.running.add(`${event.containerId}/${event.execId}`);
    else if (event.type === "exit") {
      const name = `${event.containerId}/${event.id === event.containerId ? "" : event.id}`;
      if (this.ended.has(name)) this.problems.push(`${name} was told to have ended twice`);
      this.ended.add(name);
      this.running.delete(name);
      this.answered(event.containerId, event.id === event.containerId ? "" : event.id, event.exitStatus);
    }
  }
}
