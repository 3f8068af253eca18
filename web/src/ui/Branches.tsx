import { switchBranch } from "../actions";
import { tree } from "../state";
import { siblings } from "../tree";

/** `‹ 2/3 ›` where a message has siblings. */
export function Branches({ id }: { id: string }) {
  const all = siblings(tree.value, id);
  if (all.length < 2) return null;
  const at = all.indexOf(id);
  const to = (index: number) => {
    const target = all[index];
    if (target !== undefined) void switchBranch(target);
  };
  return (
    <span class="branches" role="group" aria-label="Versions">
      <button
        type="button"
        class="act"
        aria-label="Previous version"
        aria-disabled={at === 0 || undefined}
        onClick={() => to(at - 1)}
      >
        ‹
      </button>
      <span class="num" aria-live="polite">
        {at + 1}/{all.length}
      </span>
      <button
        type="button"
        class="act"
        aria-label="Next version"
        aria-disabled={at === all.length - 1 || undefined}
        onClick={() => to(at + 1)}
      >
        ›
      </button>
    </span>
  );
}
