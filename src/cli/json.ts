import { Decimal, exactNumber } from "../formats/decimal.ts"
import { describeLoss, parseWithLosses } from "../formats/exact-json.ts"

/**
 * A JSON text's value (`ofFilter`: of a filter); a SyntaxError where it is none, and another Error where something else would reach the hub than is
 * written.
 */
export function readJson(text: string, ofFilter: boolean): unknown {
  try {
    const { value, losses } = parseWithLosses(text)
    const loss = losses[0]
    return loss === undefined ? value : new Error(`${placeOf(loss.path)}${describeLoss(loss, ofFilter)}`)
  } catch (error) {
    if (error instanceof SyntaxError) return error
    throw error
  }
}

function placeOf(path: readonly (string | number)[]): string {
  return path.length === 0
    ? ""
    : `${path
        .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
        .join("")
        .replace(/^\./, "")}: `
}

/**
 * What is wrong with a number of a YAML text, `source` as it is written there, `ofFilter` where it is one of a filter; undefined
 * where it reaches the hub unchanged.
 */
export function lossOfNumber(value: number, source: string, ofFilter: boolean): string | undefined {
  const isJson = /^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(source)
  if (!isJson) return Number.isFinite(value) ? undefined : `${source} would be saved as null: write a number`
  if (!(exactNumber(source) instanceof Decimal)) return undefined
  return describeLoss({ kind: "number", text: source }, ofFilter)
}
