/** Rendered Markdown, block by block, so that a growing text draws only its last block again. */

import { useMemo, useRef } from "preact/hooks";
import { definitionsOf, split, Splitter } from "../markdown/blocks";
import { extras } from "../markdown/extras";
import { renderMarkdown } from "../markdown/render";

export function Prose({ text, growing }: { text: string; growing: boolean }) {
  const splitter = useRef<Splitter | null>(null);
  const clean = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
  const { done, tail } = useMemo(() => {
    if (!growing) return split(clean, false);
    splitter.current ??= new Splitter();
    return splitter.current.next(clean);
  }, [clean, growing]);
  const definitions = useMemo(() => definitionsOf(clean), [clean]);
  return (
    <div class="prose" dir="auto">
      {done.map((source, index) => (
        <Block key={index} source={source} growing={false} definitions={definitions} />
      ))}
      {tail.trim() !== "" && (
        <Block key={done.length} source={tail} growing={growing} definitions={definitions} />
      )}
    </div>
  );
}

interface BlockProps {
  source: string;
  growing: boolean;
  definitions: string;
}

function Block({ source, growing, definitions }: BlockProps) {
  // Only text that may hold math or code is drawn again when the libraries for them arrive.
  const loaded = /[\\$`~]|^ {4}/m.test(source) ? extras.value : null;
  const html = useMemo(
    () => renderMarkdown(source, { growing, definitions }),
    [source, growing, definitions, loaded],
  );
  return <div class="block" dangerouslySetInnerHTML={{ __html: html }} />;
}
