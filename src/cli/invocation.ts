import { existsSync } from "node:fs"
import { delimiter, join, relative } from "node:path"

/** How this process was started, as far as it tells how the next command is typed. */
export interface Start {
  /** The path of the program's file. */
  readonly script: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

/**
 * What a person types for `redcar` here: that, where the shell finds it, else what works in a checkout. `exists` tells whether a
 * file is there.
 */
export function programName({ script, env, cwd }: Start, exists: (path: string) => boolean = existsSync): string {
  if (env.npm_command === "exec") return "npx redcar"
  // npm puts folders into the path of what it runs, which the shell knows nothing of.
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => !/node_modules[\\/]\.bin[\\/]?$/.test(folder))
  if (folders.some((folder) => folder !== "" && exists(join(folder, "redcar")))) return "redcar"
  if (env.npm_lifecycle_event !== undefined) return "npx redcar"
  if (script === undefined || !/[\\/]bin[\\/]redcar\.js$/.test(script)) return "redcar"
  const path = relative(cwd, script)
  return `node ${path.startsWith("..") ? script : path}`
}

const commands =
  "serve|status|migrate|doctor|nats|identity|bench|publish|tail|event|filter|topic|trigger|schedule|delivery|destination|queue|subscription|replay|dead-letter|tenant|completion|help"
const mention = new RegExp(`(?<![\\w/.-])redcar(?= (${commands})\\b)`, "g")

/** A text in which commands stand as they are typed here. */
export function asTyped(text: string, program: string | undefined): string {
  return program === undefined || program === "redcar" ? text : text.replace(mention, () => program)
}
