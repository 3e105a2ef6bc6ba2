/** A command that a page shows, and what it says it prints. */
export interface Shown {
  readonly command: string
  readonly output: string
}

/** Commands and what they say, in the order of the page: its `console` blocks. */
export function shownIn(page: string): readonly Shown[] {
  return [...page.matchAll(/^```console\n([\s\S]*?)^```$/gm)].flatMap(([, block]) =>
    block!
      .split(/^\$ redcar /m)
      .slice(1)
      .map((text) => {
        const [command, ...output] = text.split("\n")
        return { command: command!, output: output.join("\n") }
      }),
  )
}

/** `…` stands for anything; blanks are as wide as they are. */
export function patternOf(output: string): RegExp {
  const parts = output.trim().split(/(…|\s+)/)
  const text = parts.map((part) => {
    if (part === "…") return "[\\s\\S]*"
    return /^\s+$/.test(part) ? "\\s+" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
  })
  return new RegExp(`^\\s*${text.join("")}\\s*$`)
}
