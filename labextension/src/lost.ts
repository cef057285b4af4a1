// Outputs of widgets that are not there any more. Pure.

/** Whether an element says that there is no such widget: it has no child then, and no other mark. */
export function isLost(node: Element): boolean {
  return node.childElementCount === 0 && (node.textContent ?? '').startsWith('Error displaying widget');
}

/** Whether an output has a table of ours for whoever cannot show its widget. */
export function hasTable(data: Readonly<Record<string, unknown>> | undefined): boolean {
  const html = data?.['text/html'];
  return (Array.isArray(html) ? html.join('') : String(html ?? '')).startsWith('<div class="taskfc-plain ');
}
