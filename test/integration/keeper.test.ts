/** The keeper's binary against the promises that the daemon builds on. */

import { RealKeeper } from "../support/keeper-bench.ts";
import { describeKeeper } from "../support/keeper-conformance.ts";

describeKeeper("the real one", () => RealKeeper.start());
