/** A conversation is a tree of messages; these read it. Pure. */

export interface Node {
  id: string;
  parent_id: string | null;
  created_at: number;
}

export type Nodes = ReadonlyMap<string, Node>;

/** Ids from the root to `leaf`; empty when there is no such message. */
export function pathTo(nodes: Nodes, leaf: string | null): string[] {
  const path: string[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id !== null && !seen.has(id); ) {
    const node = nodes.get(id);
    if (!node) break;
    seen.add(id);
    path.push(id);
    id = node.parent_id;
  }
  return path.reverse();
}

/** Ids of the messages with the same parent, oldest first, `id` among them. */
export function siblings(nodes: Nodes, id: string): string[] {
  const node = nodes.get(id);
  if (!node) return [];
  return childrenOf(nodes, node.parent_id);
}

/** The leaf one reaches from `id` by always taking the newest child. */
export function newestLeaf(nodes: Nodes, id: string): string {
  let leaf = id;
  const seen = new Set<string>();
  while (!seen.has(leaf)) {
    seen.add(leaf);
    const last = childrenOf(nodes, leaf).at(-1);
    if (last === undefined) break;
    leaf = last;
  }
  return leaf;
}

function childrenOf(nodes: Nodes, parent: string | null): string[] {
  return [...nodes.values()]
    .filter((node) => node.parent_id === parent)
    .sort((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1))
    .map((node) => node.id);
}
