import type { Rule } from "./rules.ts"
import { type Node, type Source, walk } from "./source.ts"

/**
 * Every loop ends, and says by what: it counts up to a limit, a signal ends it, or a comment `// Ends: <why>` stands right
 * above it. That is asked of loops without a condition, and of those that await and whose condition names no limit.
 */
export const endlessLoops: Rule = (sources) =>
  sources
    .filter(({ path, isTest }) => /^(src|sim|faults|bench)\//.test(path) && !isTest)
    .flatMap((source) => {
      const found: number[] = []
      walk(source.program, (node) => {
        if (/^(For|While|DoWhile)Statement$/.test(node.type) && !says(source, node)) found.push(node.start)
      })
      return found.map((start) => ({
        where: `${source.path}:${lineOf(source.text, start)}`,
        what: "a loop that names no end; give it a limit, or say why it ends: // Ends: …",
      }))
    })

function says(source: Source, loop: Node): boolean {
  const test = loop.test as Node | null
  const endless = test === null || (test.type === "Literal" && test.value === true)
  if (!endless && (isLimited(test) || !awaits(loop))) return true
  const above = source.text.slice(0, source.text.lastIndexOf("\n", loop.start) + 1).split("\n")
  for (let i = above.length - 2; i >= 0 && above[i]!.trim().startsWith("//"); i--) {
    if (/^\/\/ Ends: \S/.test(above[i]!.trim())) return true
  }
  return false
}

/** Whether one part of the condition, which must hold for the loop to go on, compares sizes or asks a signal. */
function isLimited(test: Node): boolean {
  if (test.type === "LogicalExpression" && test.operator === "&&") {
    return isLimited(test.left as Node) || isLimited(test.right as Node)
  }
  if (test.type === "BinaryExpression") return ["<", "<=", ">", ">="].includes(test.operator as string)
  return test.type === "UnaryExpression" && test.operator === "!" && asksSignal(test.argument as Node)
}

function asksSignal(node: Node): boolean {
  if (node.type === "ChainExpression") return asksSignal(node.expression as Node)
  return node.type === "MemberExpression" && (node.property as { name?: string }).name === "aborted"
}

/** Whether the loop itself awaits, not a function that is made in it. */
function awaits(node: Node): boolean {
  if (node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node.await === true)) return true
  if (/Function|^Class/.test(node.type)) return false
  return Object.values(node)
    .flat()
    .some((child) => child !== null && typeof (child as Node | undefined)?.type === "string" && awaits(child as Node))
}

function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length
}
