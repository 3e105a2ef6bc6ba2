/** Where the loops say what an operator should know; pino's loggers are such. */
export interface Logger {
  /** What only who looks for a fault wants to know. */
  debug?(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}
