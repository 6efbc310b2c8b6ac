/**
 * A container's part in the backend: there from the beginning, or taken up when it is first needed.
 *
 * A container that an earlier daemon has left is known before its sandbox has been taken over. Whatever needs its part in the
 * backend waits here; what only asks for it gets undefined meanwhile.
 */
import type { BackendContainer } from "../../backends/backend.ts";

export class Inside {
  private present: BackendContainer | undefined;
  private taking: Promise<BackendContainer> | undefined;
  private isOver = false;

  private constructor(private readonly take: () => Promise<BackendContainer>) {}

  static of(container: BackendContainer): Inside {
    const inside = new Inside(() => Promise.resolve(container));
    inside.present = container;
    return inside;
  }

  /** @param take takes the container up; called again after it has failed */
  static later(take: () => Promise<BackendContainer>): Inside {
    return new Inside(take);
  }

  /** Undefined until it has been taken up. */
  get now(): BackendContainer | undefined {
    return this.present;
  }

  /** Throws what taking it up has failed with. */
  async reach(): Promise<BackendContainer> {
    if (this.present !== undefined) return this.present;
    this.taking ??= this.take().finally(() => {
      this.taking = undefined;
    });
    const taken = await this.taking;
    if (this.present === undefined && this.isOver) taken.ended();
    this.present ??= taken;
    return this.present;
  }

  /** Nothing runs any more: outputs end where they are. */
  ended(): void {
    this.isOver = true;
    this.present?.ended();
  }
}
