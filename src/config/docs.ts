import { type Setting, settingsList } from "./schema.ts"
import { formatValue } from "./value.ts"

const intro = `# Settings

Each setting can be given as a flag of \`redcar serve\`, as an environment variable, or in a file; the flag wins over the
variable, the variable over the file, the file over the default. The file is YAML or JSON: \`--config <file>\`, else the
variable \`REDCAR_CONFIG\`, else \`./redcar.yaml\` where it is there. A name with a dot is a group in the file:

\`\`\`yaml
port: 9000
limits:
  eventBytesMax: 256KiB
delivery:
  lease: 60s
\`\`\`

Sizes are written \`512KiB\`, \`16MiB\` or \`1GB\`, durations \`500ms\`, \`10s\`, \`5m\`, \`24h\` or \`7d\`, lists in a flag or a
variable with commas. Unknown settings, and settings that contradict each other, are refused at the start.

This page is written by \`redcar help settings\`.
`

/** docs/settings.md: every setting in Markdown. */
export function settingsPage(): string {
  const rows = settingsList.map(
    (setting) =>
      `| \`${setting.name}\` | \`${setting.flag}\` | \`${setting.variable}\` | ${defaultText(setting)} | ${setting.description}${bounds(setting)} |`,
  )
  return [intro, "| setting | flag | variable | default | what it does |", "|---|---|---|---|---|", ...rows, ""].join(
    "\n",
  )
}

/** The default as the docs and the help show it: `512KiB`, or how it is derived. */
export function defaultText(setting: Setting): string {
  if (setting.derived !== undefined) return setting.derived
  const text = formatValue(setting, setting.byDefault)
  return text === "" ? "none" : `\`${text}\``
}

function bounds(setting: Setting): string {
  if (setting.choices !== undefined) return ` One of ${setting.choices.map((each) => `\`${each}\``).join(", ")}.`
  if (setting.minimum === undefined || setting.maximum === undefined) return ""
  return ` From ${formatValue(setting, setting.minimum)} to ${formatValue(setting, setting.maximum)}.`
}
