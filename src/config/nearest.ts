/** The candidate that a person who wrote `name` most likely meant; undefined where none is within `allowed` changes, and shares two letters. */
export function nearest(
  name: string,
  candidates: readonly string[],
  allowed = Math.max(2, Math.floor(plain(name).length / 3)),
): string | undefined {
  const wanted = plain(name)
  const ranked = candidates
    .filter((candidate) => Math.abs(plain(candidate).length - wanted.length) <= allowed)
    .map((candidate) => ({ candidate, far: distance(wanted, plain(candidate)) }))
    .filter(({ far }) => far <= allowed && far < Math.max(1, wanted.length - 1))
    .sort((a, b) => a.far - b.far)
  return ranked[0]?.candidate
}

/** Case, dots and dashes are not what tells names apart. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "")
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`. */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : i)),
  )
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? rows[i - 2]![j - 2]! + 1 : replaced
      rows[i]![j] = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, replaced, swapped)
    }
  }
  return rows[a.length]![b.length]!
}
