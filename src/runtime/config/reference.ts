/** The settings as a table for people: the README's, and what `config --help` prints. */
import { type Descriptor, DESCRIPTORS, environmentName } from "./schema.ts";
import { formatDuration, formatSize } from "./units.ts";
import { allowedText } from "./values.ts";

/** Markdown; a test keeps the README's copy equal to it. */
export function settingsMarkdown(): string {
  const rows = DESCRIPTORS.map((descriptor) =>
    `| \`${descriptor.key}\` | ${code(defaultText(descriptor))} | ${cell(descriptor.why)} | ${
      cell(allowedText(descriptor))
    } |`
  );
  return ["| key | default | | allowed |", "| --- | --- | --- | --- |", ...rows].join("\n") + "\n";
}

/** Plain text for a terminal. */
export function settingsText(): string {
  return DESCRIPTORS.map((descriptor) =>
    `  ${descriptor.key}\n` +
    `      ${descriptor.why}\n` +
    `      default ${defaultText(descriptor)}; allowed: ${allowedText(descriptor)}\n` +
    `      environment ${environmentName(descriptor.key)}\n`
  ).join("");
}

export function defaultText(descriptor: Descriptor): string {
  switch (descriptor.type) {
    case "duration":
      return descriptor.default === 0 && descriptor.zero !== undefined
        ? `0s (${descriptor.zero})`
        : formatDuration(descriptor.default);
    case "size":
      return descriptor.default === 0 && descriptor.zero !== undefined
        ? `0 (${descriptor.zero})`
        : formatSize(descriptor.default);
    case "directory":
      return "the platform's data directory + /soth-mitm";
    case "optional_path":
    case "optional_origin":
      return "not set";
    case "rules":
    case "overrides":
      return "[]";
    case "list":
      return JSON.stringify(descriptor.default);
    default:
      return String(descriptor.default);
  }
}

function code(text: string): string {
  return text.includes(" ") && !text.startsWith("[") ? cell(text) : `\`${cell(text)}\``;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
