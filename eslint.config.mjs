/**
 * One rule only, the one that biome does not have: a promise that nobody awaits loses its error. Everything
 * else about style is biome's.
 */
import tseslint from "typescript-eslint";

const rules = {
  "@typescript-eslint/no-floating-promises": "error",
};

export default tseslint.config(
  { ignores: ["dist/**", "coverage/**", "src/rpc/generated/**", "**/*.{js,mjs,cjs,d.ts}"] },
  {
    files: [
      "src/**/*.ts",
      "lab/**/*.ts",
      "test/**/*.ts",
      "setup/**/*.ts",
      "bench/**/*.ts",
      "native/build.ts",
      "guest/image/**/*.ts",
      "*.ts",
    ],
    languageOptions: { parser: tseslint.parser, parserOptions: { project: "./tsconfig.json" } },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules,
  },
  {
    files: ["web/**/*.{ts,tsx}"],
    languageOptions: { parser: tseslint.parser, parserOptions: { project: "./tsconfig.web.json" } },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules,
  },
  {
    files: ["guest/agent/**/*.ts", "keeper/**/*.ts", "fileserver/**/*.ts", "native/runtime/**/*.ts"],
    languageOptions: { parser: tseslint.parser, parserOptions: { project: "./tsconfig.quickjs.json" } },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules,
  },
);
