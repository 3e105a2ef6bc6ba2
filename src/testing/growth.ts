const samples = 5
const attemptsMax = 4

/** What takes less is noise, in microseconds. */
const floorUs = 500

/**
 * How many times the processor time of one piece of work the other's is. The least of several samples is taken, for nothing
 * makes work faster than it is; a ratio above `most` is measured again, for neighbours can make work slower.
 */
export function ratioOf(more: () => unknown, less: () => unknown, most: number): number {
  let ratio = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < attemptsMax && ratio >= most; attempt++) {
    let [moreUs, lessUs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let sample = 0; sample < samples; sample++) {
      lessUs = Math.min(lessUs, processorTime(less))
      moreUs = Math.min(moreUs, processorTime(more))
    }
    ratio = Math.min(ratio, (moreUs + floorUs) / (lessUs + floorUs))
  }
  return ratio
}

/** How many times the time of work grows when its size is doubled: 2 where it is linear, 4 where it is quadratic. */
export function growthOf(prepare: (size: number) => () => unknown, size: number): number {
  return ratioOf(prepare(size * 2), prepare(size), 3)
}

function processorTime(work: () => unknown): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}
