/// The kernels of sequence losses of one ISA, and the memory that one sample's recursion works in.
#pragma once

#include <cstdint>

namespace ndloss {

/// States are padded to whole groups of so many, at every ISA.
inline constexpr std::int64_t ctc_lanes = 8;

/// Room before and behind a row of states, for the neighbours of the first and the last.
inline constexpr std::int64_t ctc_margin = ctc_lanes;

/// Blanks, or labels, of a sample with so many labels.
constexpr std::int64_t ctc_width(std::int64_t labels) { return (labels + 1 + ctc_lanes - 1) / ctc_lanes * ctc_lanes; }

/// One row of states: mantissas and exponents of blanks and of labels, each with its margins.
constexpr std::int64_t ctc_row(std::int64_t width) { return 4 * (width + 2 * ctc_margin); }

/// One sample. The labels have been checked, and nobody else can change them.
struct CtcSample {
  const char* log_probs = nullptr;  // of its first frame; classes side by side
  std::int64_t frame_stride = 0;    // bytes
  std::int64_t frames = 0;
  std::int64_t classes = 0;
  std::int64_t blank = 0;
  std::int64_t labels = 0;
  const std::int64_t* label = nullptr;
  double* numbers = nullptr;       // ctc_numbers() of them
  std::int64_t* places = nullptr;  // ctc_places() of them; gradient only
};

/// Numbers of scratch: rows of states (two in turn, or one for each frame and two of beta) and eight arrays of the width.
constexpr std::int64_t ctc_rows(std::int64_t frames, bool gradient) { return gradient ? frames + 3 : 2; }
constexpr std::int64_t ctc_numbers(std::int64_t rows, std::int64_t width) {
  return rows * ctc_row(width) + 8 * (width + 2 * ctc_margin);
}
constexpr std::int64_t ctc_places(std::int64_t width, std::int64_t classes) { return 3 * width + classes; }

template <class T>
struct SequenceTable {
  double (*ctc_value)(const CtcSample& sample);
  /// Writes `scale` times the gradient of the sample's frames, `grad_stride` numbers apart, and returns the loss. Where that is
  /// not finite the rows are NaN, or 0 if it is infinite and `zero_infinity`.
  double (*ctc_gradient)(const CtcSample& sample, double scale, bool zero_infinity, T* grad, std::int64_t grad_stride);
};

}  // namespace ndloss
