/** Which model answers: its name, what it is, and what kind of thinking it does. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { parameters, thinkingStyle } from "../format";
import * as state from "../state";
import type { Model } from "../types";
import { Down } from "./icons";

export function ModelPicker() {
  const [open, setOpen] = useState(false);
  const wrap = useRef<HTMLDivElement>(null);
  const model = state.model.value;
  const models = state.server.value?.models ?? [];

  useLayoutEffect(() => {
    if (!open) return;
    const outside = (event: Event) => {
      if (!wrap.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    wrap.current?.querySelector<HTMLElement>('[aria-selected="true"], [role="option"]')?.focus();
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  const close = () => {
    setOpen(false);
    wrap.current?.querySelector<HTMLElement>("button")?.focus();
  };
  const choose = (one: Model) => {
    state.chosenModel.value = one.name;
    state.keep("model", one.name);
    close();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const options = [...(wrap.current?.querySelectorAll<HTMLElement>('[role="option"]') ?? [])];
    const at = options.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: options.length - 1 }[event.key];
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") {
      setOpen(false);
    } else if (to !== undefined) {
      event.preventDefault();
      options[Math.max(0, Math.min(options.length - 1, to))]?.focus();
    }
  };

  if (!model) return <span class="picker quiet">{state.server.value ? "no model installed" : ""}</span>;
  return (
    <div class="picker" ref={wrap} onKeyDown={onKeyDown}>
      <button
        type="button"
        class="picked"
        aria-haspopup="listbox"
        aria-expanded={open}
        aria-label={`Model: ${model.name}`}
        onClick={() => setOpen(!open)}
      >
        <span class="name">{model.name}</span>
        <Down />
      </button>
      {open && (
        <ul class="models" role="listbox" aria-label="Models">
          {models.map((one) => (
            <li
              key={one.name}
              role="option"
              tabIndex={-1}
              aria-selected={one.name === model.name}
              onClick={() => choose(one)}
              onKeyDown={(event) => {
                if (event.key !== "Enter" && event.key !== " ") return;
                event.preventDefault();
                choose(one);
              }}
            >
              <span class="name">{one.name}</span>
              <span class="quiet num">{facts(one)}</span>
              <span class="what">{one.description}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function facts(model: Model): string {
  const size = parameters(model.parameters);
  return [size && `${size} parameters`, model.quant, thinkingStyle(model), model.kind === "remote" ? "remote" : null]
    .filter(Boolean)
    .join(" · ");
}
