/** The few glyphs that words cannot replace; drawn with the colour of the text around them. */

import type { ComponentChildren } from "preact";

function Icon({ children, size = 18 }: { children: ComponentChildren; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const Menu = () => <Icon><path d="M3 6h14M3 10h14M3 14h9" /></Icon>;
export const Close = ({ size = 18 }: { size?: number }) => <Icon size={size}><path d="m5 5 10 10M15 5 5 15" /></Icon>;
export const Send = () => <Icon><path d="M10 16V4.5M5 9.5l5-5 5 5" /></Icon>;
export const Stop = () => <Icon><rect x="5.5" y="5.5" width="9" height="9" rx="1" fill="currentColor" stroke="none" /></Icon>;
export const Pencil = () => <Icon size={16}><path d="m4 16 .8-3.2L13.5 4l2.5 2.5-8.7 8.7L4 16Z" /></Icon>;
export const Bin = () => <Icon size={16}><path d="M4 6h12M8 6V4h4v2M5.5 6l.7 10h7.6l.7-10" /></Icon>;
export const Plus = () => <Icon><path d="M10 4v12M4 10h12" /></Icon>;
export const Down = () => <Icon size={14}><path d="m5 8 5 5 5-5" /></Icon>;
export const Sun = () => <Icon><circle cx="10" cy="10" r="3.5" /><path d="M10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1" /></Icon>;
export const Moon = () => <Icon><path d="M16.5 11.8A7 7 0 0 1 8.2 3.5a7 7 0 1 0 8.3 8.3Z" /></Icon>;
