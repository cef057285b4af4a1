// What came of a command, where nothing beside it says of which farm. Pure.

/** Return the sentence `said` with its farm: where that is the only one, or is in it already, as it is. */
export function ofFarm(farm: string, said: string, isOnly: boolean): string {
  const isNamed = said.split(/[^\w.-]/).includes(farm);
  return isOnly || isNamed ? said : `Farm ${farm}: ${said}`;
}
