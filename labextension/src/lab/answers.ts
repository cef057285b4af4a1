// What came of a command, where nothing beside it says of which farm. Pure.

const THE_FARM = /^The farm\b/;

/** Return the sentence `said` with its farm: where that is the only one, or is in it already, as it is. */
export function ofFarm(farm: string, said: string, isOnly: boolean): string {
  const isNamed = said.split(/[^\w.-]/).includes(farm);
  if (isOnly || isNamed) return said;
  return THE_FARM.test(said) ? said.replace(THE_FARM, `Farm ${farm}`) : `Farm ${farm}: ${said}`;
}
