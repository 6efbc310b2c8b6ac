/** Small pictures, drawn in the colour of the text beside them. Screen readers do not see them. */

const PATHS = {
  alert: "M8 2.2 14.4 13.4H1.6ZM8 6.4v3.2M8 11.6v.1",
  back: "M9.8 3.4 5.2 8l4.6 4.6",
  compare: "M3 3.5h4v9H3zM9 3.5h4v9H9z",
  file: "M4 1.8h5.2L12.4 5v9.2H4zM9 2v3.4h3.2",
  forward: "M6.2 3.4 10.8 8l-4.6 4.6",
  help: "M5.9 6a2.1 2.1 0 1 1 3 1.9c-.7.3-.9.7-.9 1.4M8 11.6v.1M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6Z",
  minus: "M3.5 8h9",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8Z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.6 8Z",
  plus: "M3.5 8h9M8 3.5v9",
  sun: "M8 5.1a2.9 2.9 0 1 1 0 5.8 2.9 2.9 0 0 1 0-5.8ZM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  system: "M2.2 3h11.6v8H2.2zM5.6 13.4h4.8",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
