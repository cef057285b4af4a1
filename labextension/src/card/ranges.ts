// Ranges of task ids: the first and the last id of each. Pure.

/** Return the ids in these ranges. */
export function idsOf(ranges: readonly (readonly [number, number])[]): number[] {
  const ids: number[] = [];
  for (const [first, last] of ranges) for (let id = first; id <= last; id++) ids.push(id);
  return ids;
}
