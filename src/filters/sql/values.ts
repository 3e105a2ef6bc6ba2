import { Decimal, exactNumber, isNumeric, isSame, type Numeric, truncated } from "../../formats/decimal.ts"
import { isComposite, type Json } from "../view.ts"

/** What a cast yields; undefined where the value has no such form. */
const integerText = /^[+-]?[0-9]+$/
const numberText = /^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$/

export const integerMin = -2147483648
export const integerMax = 2147483647

export function isInteger32(value: number): boolean {
  return (value | 0) === value
}

/** INT: text must be a decimal of 32 bits without spaces; a fraction from data is cut off. */
export function toInteger(value: Json): number | undefined {
  if (isNumeric(value)) {
    if (typeof value === "number" && isInteger32(value)) return value
    const whole = truncated(value)
    return whole >= integerMin && whole <= integerMax ? whole + 0 : undefined
  }
  if (typeof value === "boolean") return value ? 1 : 0
  if (typeof value !== "string" || value.length > 4096 || !integerText.test(value)) return undefined
  const number = Number(value)
  return isInteger32(number) ? number | 0 : undefined
}

/** BOOL: text must be `true` or `false` in any case; 0 is false, every other number true. */
export function toBoolean(value: Json): boolean | undefined {
  if (typeof value === "boolean") return value
  if (typeof value === "number") return value !== 0
  if (value instanceof Decimal) return true
  if (typeof value !== "string") return undefined
  if (value === "true" || value === "false") return value === "true"
  if (value.length > 5) return undefined
  const lower = value.toLowerCase()
  return lower === "true" ? true : lower === "false" ? false : undefined
}

/** STRING: the canonical text. Null, objects and arrays have none. */
export function toText(value: Json): string | undefined {
  if (typeof value === "string") return value
  return isNumeric(value) || typeof value === "boolean" ? String(value) : undefined
}

/** A number with a fraction, for operators on data. */
export function toNumber(value: Json): Numeric | undefined {
  if (isNumeric(value)) return value
  if (typeof value === "boolean") return value ? 1 : 0
  if (typeof value !== "string" || value.length > 4096 || !numberText.test(value)) return undefined
  return exactNumber(value)
}

/** `value` in the type of `target`; undefined where it has no such form. */
export function castLike(value: Json, target: Json, wide: boolean): Json | undefined {
  if (typeof value === typeof target && typeof value !== "object") return value
  if (isNumeric(target)) return wide ? toNumber(value) : toInteger(value)
  switch (typeof target) {
    case "string":
      return toText(value)
    case "boolean":
      return toBoolean(value)
    default:
      return undefined
  }
}

/**
 * Whether two values are equal by the type of the right one; undefined where the left one has no such form.
 * Null, which only data has, equals null and nothing else. Objects and arrays compare with nothing.
 */
export function equalByRight(left: Json, right: Json, wide: boolean): boolean | undefined {
  if (left === null || right === null) return isComposite(left) || isComposite(right) ? undefined : left === right
  const cast = castLike(left, right, wide)
  return cast === undefined ? undefined : isSame(cast, right)
}
