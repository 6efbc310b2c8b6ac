/**
 * The stdio of all processes, as the daemon has it in the keeper: a channel for each id, from the request to open it until it is
 * closed. Those of an earlier daemon are here from the keeper's hello on. A keeper that dies takes all of them along.
 */
import type { StdioBinding, StdioHandlers, StdioPaths } from "../../contracts/keeper.ts";
import type { KeeperHello } from "../../protocol/keeper/messages.ts";
import type { Peer } from "../../protocol/wire/peer.ts";
import type { KeeperRequests } from "./requests.ts";
import { StdioChannel } from "./stdio.ts";

export class StdioChannels {
  private readonly channels = new Map<string, StdioChannel>();
  private nextStream = 1;

  constructor(
    private readonly peer: Peer,
    private readonly requests: KeeperRequests,
  ) {}

  get ids(): string[] {
    return [...this.channels.keys()];
  }

  async open(id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding> {
    let channel = this.channels.get(id);
    const adopted = channel !== undefined && samePaths(channel.open, paths);
    if (channel === undefined || !adopted) channel = this.newChannel(id, paths, channel);
    try {
      await this.requests.send("stdio.open", channel.open, id);
    } catch (error) {
      if (!adopted) this.drop(id, channel);
      throw error;
    }
    channel.bind(handlers);
    return this.binding(id, channel);
  }

  async close(id: string): Promise<void> {
    await this.requests.send("stdio.close", { id }, id);
    const channel = this.channels.get(id);
    if (channel !== undefined) this.drop(id, channel);
  }

  /** Takes up stdio that is open in the keeper, so that its acks have an owner from the start. */
  takeUp({ open, endedStreams }: KeeperHello["stdio"][number]): void {
    const streams = [open.stdin.stream, open.stdout.stream, open.stderr.stream];
    this.nextStream = Math.max(this.nextStream, ...streams.map((stream) => stream + 1));
    if (!this.channels.has(open.id))
      this.channels.set(open.id, new StdioChannel(open, this.peer, true, endedStreams));
  }

  /** The link to the keeper came up or went down. */
  linkChanged(up: boolean): void {
    for (const channel of this.channels.values()) channel.linkChanged(up);
  }

  /** The keeper has died. */
  lost(): void {
    const all = [...this.channels.values()];
    this.channels.clear();
    for (const channel of all) channel.lost();
  }

  /** This end leaves; the keeper keeps them. */
  leave(): void {
    for (const channel of this.channels.values()) channel.close();
    this.channels.clear();
  }

  /** A channel whose open request is not answered yet; ids already in use stay with the channel in use. */
  private newChannel(id: string, paths: StdioPaths, present: StdioChannel | undefined): StdioChannel {
    const stream = (path: string): { path: string; stream: number } => ({
      path,
      stream: path === "" ? 0 : this.nextStream++,
    });
    const open = {
      id,
      stdin: stream(paths.stdin),
      stdout: stream(paths.stdout),
      stderr: stream(paths.stderr),
    };
    const channel = new StdioChannel(open, this.peer, false);
    if (present === undefined) this.channels.set(id, channel);
    return channel;
  }

  private drop(id: string, channel: StdioChannel): void {
    channel.close();
    if (this.channels.get(id) === channel) this.channels.delete(id);
  }

  private binding(id: string, channel: StdioChannel): StdioBinding {
    return {
      data: (stream, offset, bytes) => channel.output(stream).data(offset, bytes),
      end: (stream, offset) => channel.output(stream).end(offset),
      acknowledgeInput: (offset, window) => channel.input.acknowledge(offset, window),
      closeInput: async () => {
        if (this.channels.get(id) === channel) await this.requests.send("stdio.closeInput", { id }, id);
      },
      close: async () => {
        if (this.channels.get(id) !== channel) return;
        await this.requests.send("stdio.close", { id }, id);
        this.drop(id, channel);
      },
    };
  }
}

function samePaths(open: KeeperHello["stdio"][number]["open"], paths: StdioPaths): boolean {
  return (
    open.stdin.path === paths.stdin && open.stdout.path === paths.stdout && open.stderr.path === paths.stderr
  );
}
