import { Argument, type Command } from "commander"
import { type Context, examples } from "./command.ts"

export function configure(command: Command, context: Context): void {
  command
    .description("Print a script that completes commands and flags in a shell.")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish"]))
    .action(async (shell: "bash" | "zsh" | "fish") =>
      context.terminal.out(scripts[shell](await wordsByCommand(context))),
    )
  examples(command, [
    ["redcar completion bash > ~/.local/share/bash-completion/completions/redcar", "For bash"],
    ["redcar completion fish > ~/.config/fish/completions/redcar.fish", "For fish"],
  ])
}

/** What may follow each command: its subcommands and flags, by the words that lead to it. */
type Words = ReadonlyMap<string, readonly string[]>

async function wordsByCommand(context: Context): Promise<Words> {
  const words = new Map<string, readonly string[]>()
  const visit = (command: Command, path: readonly string[]) => {
    const flags = command.options.filter((option) => !option.hidden).map((option) => option.long ?? option.short ?? "")
    words.set(path.join(" "), [...command.commands.map((child) => child.name()), ...flags, "--help"])
    for (const child of command.commands) visit(child, [...path, child.name()])
  }
  visit(await context.program("all"), [])
  return words
}

const scripts: Readonly<Record<"bash" | "zsh" | "fish", (words: Words) => string>> = {
  bash: (words) => bashScript(words),
  zsh: (words) => `#compdef redcar\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(words)}`,
  fish: (words) => fishScript(words),
}

function bashScript(words: Words): string {
  const cases = Array.from(words, ([path, next]) => `    "${path}") words="${next.join(" ")}" ;;`).join("\n")
  return `_redcar() {
  local path="" word words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in -*) break ;; esac
    case "$path $word" in ${commandPatterns(words)}) path="\${path:+$path }$word" ;; *) break ;; esac
  done
  case "$path" in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _redcar redcar
`
}

function commandPatterns(words: Words): string {
  return [...words.keys()]
    .filter((path) => path !== "")
    .map((path) => (path.includes(" ") ? `"${path}"` : `" ${path}"`))
    .join("|")
}

function fishScript(words: Words): string {
  return Array.from(words, ([path, next]) => {
    const condition = path === "" ? "__fish_use_subcommand" : `string match -q -- 'redcar ${path} *' (commandline -cp)`
    return next
      .map(
        (word) =>
          `complete -c redcar -n "${condition}" ${word.startsWith("--") ? `-l ${word.slice(2)}` : `-f -a ${word}`}`,
      )
      .join("\n")
  })
    .join("\n")
    .concat("\n")
}
