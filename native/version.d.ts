/**
 * What native/build.ts writes into every program that it bundles.
 */

/** The product's version, as package.json has it. */
declare const BLAZAR_VERSION: string;
