/** What the process answers to the shell. Documented by `redcar help exit-codes`. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  notFound: 5,
  conflict: 6,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** What each exit code means, in the words of the help. */
export const exitCodeMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: "It worked.",
  failed: "It failed, in whole or in part: some events were refused, a check of the doctor did not pass.",
  usage: "The command line or a setting is wrong; nothing was done.",
  unreachable: "The hub did not answer.",
  refused: "The hub refused the key (401, 403) or the request itself (400, 413, 415).",
  notFound: "There is no such thing (404).",
  conflict: "It is there already, it is in use, or it has changed since (409, 412).",
}

/**
 * A command that ends without having done its work. Commands throw it, `main` alone catches it, prints the message and
 * the next step, and exits with the code.
 */
export abstract class CommandError extends Error {
  abstract readonly exitCode: ExitCode
  /** What to do about it. */
  readonly next: readonly string[]
  constructor(message: string, next: readonly string[] = [], options?: ErrorOptions) {
    super(message, options)
    this.next = next
  }
}

/** It failed for a reason that is neither the command line's nor the hub's. */
export class FailedError extends CommandError {
  override readonly name = "FailedError"
  override readonly exitCode = exitCodes.failed
}

/** What was looked for is not there. */
export class NotThereError extends CommandError {
  override readonly name = "NotThereError"
  override readonly exitCode = exitCodes.notFound
}

/** A command that did its work, printed what came of it, and has to tell the shell that not all is well. */
export class ToldError extends CommandError {
  override readonly name = "ToldError"
  override readonly exitCode: ExitCode
  constructor(exitCode: ExitCode) {
    super("told already")
    this.exitCode = exitCode
  }
}

/** The command line, or what it names, makes no sense. */
export class UsageError extends CommandError {
  override readonly name = "UsageError"
  override readonly exitCode = exitCodes.usage
}

/** Nobody answers at the hub's address, or what answers is no hub. */
export class UnreachableError extends CommandError {
  override readonly name = "UnreachableError"
  override readonly exitCode = exitCodes.unreachable
}

/** One wrong field of a request, as the hub names it. */
export interface FieldFault {
  readonly field: string
  readonly message: string
}

/** A problem document (RFC 9457) as the hub answers it. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly errors?: readonly FieldFault[]
  /** Whatever else it carries: `last`, `results`. */
  readonly [extra: string]: unknown
}

/** The hub answered with a problem. */
export class ProblemError extends CommandError {
  override readonly name = "ProblemError"
  override readonly exitCode: ExitCode
  readonly problem: Problem
  constructor(problem: Problem, next: readonly string[] = []) {
    super(problem.detail, next)
    this.problem = problem
    this.exitCode = exitCodeOf(problem.status)
  }
}

function exitCodeOf(status: number): ExitCode {
  if (status === 404) return exitCodes.notFound
  if (status === 409 || status === 412) return exitCodes.conflict
  if (status >= 400 && status < 500) return exitCodes.refused
  return exitCodes.failed
}

/** Whether the same request may be answered otherwise after a while: the hub is away, or has too much to do. */
export function mayPass(error: unknown): boolean {
  if (error instanceof UnreachableError) return true
  return error instanceof ProblemError && (error.problem.status >= 500 || error.problem.status === 429)
}
