import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseSync } from "oxc-parser"

export const root = fileURLToPath(new URL("..", import.meta.url))

/** A node of a syntax tree, as far as rules look at it. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [member: string]: unknown
}

/** A TypeScript file of the repository. */
export interface Source {
  /** From the root: `src/core/event.ts`. */
  readonly path: string
  readonly text: string
  readonly program: Node
  /** What it imports, as written. */
  readonly imports: readonly string[]
  readonly isTest: boolean
}

/** Every tracked or new file, ignored ones left out. */
export function files(): readonly string[] {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root })
  return [...new Set(listed.toString().split("\n"))].filter((path) => path !== "" && exists(path)).sort()
}

function exists(path: string): boolean {
  try {
    readFileSync(root + path)
    return true
  } catch {
    return false
  }
}

export function read(path: string): string {
  return readFileSync(root + path, "utf8")
}

export function sources(): readonly Source[] {
  return files()
    .filter((path) => path.endsWith(".ts"))
    .map((path) => {
      const text = read(path)
      const program = parseSync(path, text).program as unknown as Node
      const isTest = /(\.test|\.fixture|conformance)|\/(fixture|conformance)\b|^src\/testing\//.test(path)
      return { path, text, program, imports: importsOf(program), isTest }
    })
}

function importsOf(program: Node): readonly string[] {
  const found: string[] = []
  walk(program, (node) => {
    const { source } = node as { source?: { value?: unknown } }
    if (typeof source?.value === "string") found.push(source.value)
  })
  return found
}

/** Calls `visit` with every node, outer ones first. */
export function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const member of Object.values(node)) {
    for (const child of Array.isArray(member) ? member : [member]) {
      if (child !== null && typeof child === "object" && typeof (child as Node).type === "string")
        walk(child as Node, visit)
    }
  }
}

/** Lines from `start` to `end`. */
export function linesOf({ text }: Source, start: number, end: number): number {
  return text.slice(start, end).split("\n").length
}

/** Where an import leads, from the root; undefined for a package. */
export function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined
  return new URL(specifier, `file:///${from}`).pathname.slice(1)
}
