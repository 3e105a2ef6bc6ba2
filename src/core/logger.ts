/** Where the loops say what an operator should know; pino's loggers are such. */
export interface Logger {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}
