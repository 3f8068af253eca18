import { useState } from "preact/hooks";
import { copy } from "./clipboard";

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [said, say] = useState<string | null>(null);
  const onClick = () =>
    void copy(text).then((done) => {
      say(done ? "Copied" : "Not allowed");
      window.setTimeout(() => say(null), 1500);
    });
  return (
    <button type="button" class="act" onClick={onClick}>
      {said ?? label}
    </button>
  );
}
