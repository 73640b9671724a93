// The extension module: every binding, nothing of its own.
#include "arrays.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  namespace binding = ndloss::binding;
  m.doc() = "The C++ core of ndloss. Private: use the functions and classes of `ndloss`.";
  binding::bind_accumulator(m);
  binding::bind_elementwise(m);
  binding::bind_result_memory(m);
  binding::bind_rowwise(m);
  binding::bind_runtime(m);
  binding::bind_sequence(m);
  binding::bind_plain(m);
  binding::bind_vectors(m);
}
