/** The list of chats: by day, or what was found. One stop for Tab; the arrows go through it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { byDay } from "../format";
import { loadRows } from "../history";
import * as state from "../state";
import type { ConversationRow } from "../types";
import { Picking } from "./Picking";
import { Row } from "./Row";

export function Rows() {
  const searching = state.query.value.trim() !== "";
  const [pointed, setPointed] = useState(false);
  const [focused, setFocused] = useState(false);
  const [tabbed, setTabbed] = useState<string | null>(null);
  const [picked, pick] = useState<ReadonlySet<string> | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const rows = useSteady(state.rows.value, pointed || focused, state.query.value);

  // Whoever types elsewhere is not about to click here, wherever the pointer rests.
  useEffect(() => {
    const onKey = ({ target }: KeyboardEvent) => {
      if (!box.current?.contains(target as Node)) setPointed(false);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const ids = rows.map(({ id }) => id);
  const open = state.opened.value?.id;
  const stop = tabbed !== null && ids.includes(tabbed) ? tabbed : open !== undefined && ids.includes(open) ? open : ids[0];
  const groups: [string, ConversationRow[]][] = searching
    ? rows.length ? [["Found", rows]] : []
    : byDay(rows, (row) => row.updated_at * 1000, Date.now());
  const toggle = (id: string) => {
    const next = new Set(picked);
    if (!next.delete(id)) next.add(id);
    pick(next);
  };
  return (
    <div
      class="rows"
      ref={box}
      onKeyDown={walk}
      onPointerMove={() => setPointed(true)}
      onPointerLeave={() => setPointed(false)}
      onFocusIn={() => setFocused(true)}
      onFocusOut={(event) => setFocused(box.current?.contains(event.relatedTarget as Node | null) ?? false)}
    >
      {picked !== null && <Picking picked={picked} done={() => pick(null)} />}
      {groups.map(([day, list]) => (
        <section key={day} aria-label={day}>
          <h2>{day}</h2>
          <ul>
            {list.map((row) => (
              <Row
                key={row.id}
                row={row}
                stop={row.id === stop}
                onFocus={() => setTabbed(row.id)}
                picked={picked?.has(row.id) ?? null}
                toggle={() => toggle(row.id)}
              />
            ))}
          </ul>
        </section>
      ))}
      {rows.length === 0 && state.server.value && (
        <p class="quiet empty">{searching ? "Nothing found." : "Your chats will be listed here. They stay on this machine."}</p>
      )}
      <div class="more">
        {state.nextRows.value !== null && (
          <button type="button" class="act" onClick={() => void loadRows(state.nextRows.value)}>
            Earlier chats
          </button>
        )}
        {rows.length > 1 && picked === null && (
          <button type="button" class="act" onClick={() => pick(new Set())}>
            Delete several…
          </button>
        )}
      </div>
    </div>
  );
}

/**
 * While `held`, what is shown keeps its place, so that nobody hits another chat than the one they aimed at: only what
 * is deleted goes, and what is older comes at the end.
 */
function useSteady(rows: ConversationRow[], held: boolean, query: string): ConversationRow[] {
  const shown = useRef(rows);
  const asked = useRef(query);
  if (!held || asked.current !== query || shown.current.length === 0) {
    shown.current = rows;
  } else {
    const fresh = new Map(rows.map((row) => [row.id, row]));
    const before = new Set(shown.current.map(({ id }) => id));
    const stay = shown.current.flatMap((row) => {
      const now = fresh.get(row.id);
      // The day it stands under stays too.
      return now ? [{ ...now, updated_at: row.updated_at }] : [];
    });
    const last = shown.current.at(-1)?.updated_at ?? 0;
    shown.current = [...stay, ...rows.filter((row) => !before.has(row.id) && row.updated_at <= last)];
  }
  asked.current = query;
  return shown.current;
}

/** Up and down through the chats; right and left through what can be done with one. */
function walk(event: KeyboardEvent): void {
  const from = event.target as HTMLElement;
  const row = from.closest<HTMLElement>(".row");
  if (!row || from.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  const links = [...document.querySelectorAll<HTMLElement>(".rows .row a")];
  const tools = [...row.querySelectorAll<HTMLElement>("a, .tools button")];
  const at = links.indexOf(row.querySelector<HTMLElement>("a")!);
  const of = tools.indexOf(from);
  const to = {
    ArrowDown: links[at + 1],
    ArrowUp: at === 0 ? document.querySelector<HTMLElement>("#search") : links[at - 1],
    Home: links[0],
    End: links.at(-1),
    ArrowRight: tools[of + 1],
    ArrowLeft: tools[of - 1],
    F2: row.querySelector<HTMLElement>("[data-does=rename]"),
    Delete: row.querySelector<HTMLElement>("[data-does=delete]"),
  }[event.key];
  if (to === undefined || to === null) return;
  event.preventDefault();
  if (event.key === "F2" || event.key === "Delete") to.click();
  else to.focus();
}
