// Results of commands, with the name of the farm where nothing else shows it. Pure.

const THE_FARM = /^The farm\b/;

/** Add the farm's name to a text, unless the farm is the only one or the text has its name. */
export function addFarm(farm: string, text: string, isOnly: boolean): string {
  const isNamed = text.split(/[^\w.-]/).includes(farm);
  if (isOnly || isNamed) return text;
  return THE_FARM.test(text) ? text.replace(THE_FARM, `Farm ${farm}`) : `Farm ${farm}: ${text}`;
}
