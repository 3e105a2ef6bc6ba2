export { compileFilters } from "./compile.ts"
export { type ParsedFilters, parseFilters } from "./parse.ts"
export type { Fault } from "./reading.ts"
