/** Writes the generated pages of docs/; run by `npm run generate`. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generatedPages } from "./pages.ts";

const root = process.env["BLAZAR_ROOT"] ?? ".";
for (const [file, content] of Object.entries(generatedPages())) await writeFile(join(root, file), content);
