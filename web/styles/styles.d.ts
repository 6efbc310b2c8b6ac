/** esbuild puts styles into page.css. */
declare module "*.css" {}
