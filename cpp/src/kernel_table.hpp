/// The kernels of one ISA, as tables of function pointers: the only thing that leaves an ISA's objects.
#pragma once

#include "label_table.hpp"
#include "margin_tile.hpp"
#include "ndloss/kernels_elementwise.hpp"
#include "ndloss/losses.hpp"
#include "pack_table.hpp"
#include "sequence_table.hpp"
#include "softmax_tile.hpp"
#include "vector_tile.hpp"
#include "weight_table.hpp"

namespace ndloss {

/// By position in the registry, in both compute types.
struct ElementwiseTable {
  ElementwiseKernels<float> single[ElementwiseLosses::size];
  ElementwiseKernels<double> twice[ElementwiseLosses::size];
};

struct SoftmaxTables {
  SoftmaxTable<float> single;
  SoftmaxTable<double> twice;
};

struct PackTables {
  PackTable<float> single;
  PackTable<double> twice;
  PackTable<std::int64_t> label;
};

struct WeightTables {
  WeightTable<float> single;
  WeightTable<double> twice;
};

struct MarginTables {
  MarginTable<float> single;
  MarginTable<double> twice;
  LabelsInside inside;
};

struct SequenceTables {
  SequenceTable<float> single;
  SequenceTable<double> twice;
};

struct KernelTable {
  const char* name;
  const ElementwiseTable* elementwise;
  const SoftmaxTables* softmax;
  const PackTables* pack;
  const LabelTables* label;
  const WeightTables* weight;
  const MarginTables* margin;
  const VectorTables* vectors;
  const SequenceTables* sequence;
};

/// The table of the ISA in use.
const KernelTable& active_kernels();

template <class T>
const PackTable<T>& active_pack() {
  if constexpr (sizeof(T) == 4) {
    return active_kernels().pack->single;
  } else {
    return active_kernels().pack->twice;
  }
}

template <class T>
const PickTable<T>& active_pick() {
  if constexpr (sizeof(T) == 4) {
    return active_kernels().label->single;
  } else {
    return active_kernels().label->twice;
  }
}

template <class T>
const WeightTable<T>& active_weight() {
  if constexpr (sizeof(T) == 4) {
    return active_kernels().weight->single;
  } else {
    return active_kernels().weight->twice;
  }
}

template <class T>
const SequenceTable<T>& active_sequence() {
  if constexpr (sizeof(T) == 4) {
    return active_kernels().sequence->single;
  } else {
    return active_kernels().sequence->twice;
  }
}

}  // namespace ndloss
