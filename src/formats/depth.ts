/** Whether arrays and objects nest deeper than so many levels in a parsed JSON value; takes no stack, however deep it is. */
export function isDeeper(value: unknown, levels: number): boolean {
  let layer = containers([value])
  for (let left = levels; layer.length > 0; left--) {
    if (left === 0) return true
    layer = containers(layer.flatMap((each) => Object.values(each)))
  }
  return false
}

function containers(values: readonly unknown[]): readonly object[] {
  return values.filter((value) => typeof value === "object" && value !== null)
}
