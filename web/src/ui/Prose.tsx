/** Rendered Markdown, block by block, so that a growing text draws only its last block again. */

import { useId, useMemo, useRef } from "preact/hooks";
import { Composition } from "../markdown/composition";
import { extras } from "../markdown/extras";

export function Prose({ text, growing }: { text: string; growing: boolean }) {
  const id = useId();
  const composition = useRef<Composition | null>(null);
  composition.current ??= new Composition(id);
  const loaded = extras.value;
  const { blocks, notes } = useMemo(
    () => composition.current!.next(text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text, growing),
    [text, growing, loaded],
  );
  return (
    <div class="prose" dir="auto">
      {blocks.map((html, index) => html !== "" && <Block key={index} html={html} />)}
      {notes !== "" && <Block key="notes" html={notes} />}
    </div>
  );
}

function Block({ html }: { html: string }) {
  return <div class="block" dangerouslySetInnerHTML={{ __html: html }} />;
}
