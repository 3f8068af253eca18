/** Long pasted texts as chips that open. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { plural } from "../format";
import type { Attachment } from "../types";
import { Close } from "./icons";

interface ChipsProps {
  list: readonly Attachment[];
  onRemove?: (index: number) => void;
}

export function Chips({ list, onRemove }: ChipsProps) {
  const [open, show] = useState<Attachment | null>(null);
  if (list.length === 0) return null;
  return (
    <>
      <ul class="chips" aria-label="Attachments">
        {list.map((attachment, index) => (
          <li key={attachment.name + index}>
            <button type="button" class="chip" onClick={() => show(attachment)}>
              {attachment.name} <span class="quiet num">{plural(attachment.text.length, "character")}</span>
            </button>
            {onRemove && (
              <button type="button" class="icon" aria-label={`Remove ${attachment.name}`} onClick={() => onRemove(index)}>
                <Close size={14} />
              </button>
            )}
          </li>
        ))}
      </ul>
      {open && <Viewer attachment={open} close={() => show(null)} />}
    </>
  );
}

function Viewer({ attachment, close }: { attachment: Attachment; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="viewer" aria-label={attachment.name} onClose={close}>
      <header>
        <strong>{attachment.name}</strong>
        <span class="quiet num">{plural(attachment.text.length, "character")}</span>
        <button type="button" class="icon" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Close />
        </button>
      </header>
      <pre tabIndex={0}>{attachment.text}</pre>
    </dialog>
  );
}
