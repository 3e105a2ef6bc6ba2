import type { Logger } from "../../core/logger.ts"

/** Says nothing. */
export const silentLog: Logger = { info() {}, warn() {}, error() {} }
