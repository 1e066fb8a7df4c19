/** The middle of numbers; the lower one of two. 0 without any. */
export function medianOf(numbers: readonly number[]): number {
  if (numbers.length < 2) return numbers[0] ?? 0;
  return numbers.toSorted((left, right) => left - right)[(numbers.length - 1) >> 1]!;
}
