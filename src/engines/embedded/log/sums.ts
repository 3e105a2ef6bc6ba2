/** Between two of the sums that are kept. */
const stepBytes = 8
/** The CRC's polynomial, its bits reversed. */
const polynomial = 0xedb88320
/** What each byte makes of a sum. */
const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (polynomial & -(sum & 1))
  return sum
})
/** What 2^k bytes of zeros make of a sum, for each k. */
const zeros = powers(31)

/**
 * CRC-32s of parts of `bytes`. Each byte is gone over once, and each part then costs the same however long it is: a part's sum
 * is told from the sums of all that is before its ends.
 */
export class Sums {
  readonly #bytes: ArrayLike<number>
  /** Of all that is before each step: the CRC's register, begun with 0. */
  #steps: Int32Array | undefined
  #known = 0

  constructor(bytes: ArrayLike<number>) {
    this.#bytes = bytes
  }

  /** As `crc32(bytes.subarray(from, to), seed)`. */
  of(from: number, to: number, seed: number): number {
    return ~(this.#before(to) ^ behindZeros(this.#before(from) ^ ~seed, to - from)) >>> 0
  }

  #before(at: number): number {
    this.#steps ??= new Int32Array(Math.ceil(this.#bytes.length / stepBytes) + 1)
    const steps = this.#steps
    const step = Math.floor(at / stepBytes)
    for (; this.#known < step; this.#known++) {
      const from = this.#known * stepBytes
      steps[this.#known + 1] = this.#over(from, from + stepBytes, steps[this.#known]!)
    }
    return this.#over(step * stepBytes, at, steps[step]!)
  }

  #over(from: number, to: number, begun: number): number {
    let sum = begun
    for (let at = from; at < to; at++) sum = (sum >>> 8) ^ table[(sum ^ this.#bytes[at]!) & 0xff]!
    return sum
  }
}

/** What becomes of a difference between two sums while both go on over the same `bytes` bytes. */
function behindZeros(difference: number, bytes: number): number {
  let result = difference
  for (let k = 0, rest = bytes; rest > 0; k++, rest >>>= 1) {
    if ((rest & 1) !== 0) result = product(zeros[k]!, result)
  }
  return result
}

/** Of two polynomials over GF(2), modulo the CRC's; the highest bit is x^0. */
function product(a: number, b: number): number {
  let result = 0
  for (let bit = a, by = b; bit !== 0; bit <<= 1) {
    result ^= by & (bit >> 31)
    by = (by >>> 1) ^ (polynomial & -(by & 1))
  }
  return result
}

/** x^8, and each the square of the one before. */
function powers(count: number): readonly number[] {
  const all = [1 << 23]
  while (all.length < count) all.push(product(all.at(-1)!, all.at(-1)!))
  return all
}
