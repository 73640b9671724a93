/// NumPy arrays as views of the core, and what every binding needs to call it.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <forward_list>
#include <optional>
#include <utility>

#include "ndloss/calls.hpp"

namespace ndloss::binding {

namespace py = pybind11;

/// The view of an array; the caller keeps the array alive. Throws TypeError for a dtype the core does not read.
[[nodiscard]] ArrayView view_of(const py::array& array);

/// The same for a C-contiguous, writable array that results go to.
[[nodiscard]] Output output_of(const py::object& array);

class Views;

/// The same for a writable array of any layout, whose view is kept there.
[[nodiscard]] Output output_of(const py::object& array, Views& views);

/// The stored type of an array, if the core reads it.
[[nodiscard]] std::optional<DType> dtype_of_array(const py::array& array);

/// Lets Ctrl-C end a call that runs without the GIL.
[[nodiscard]] Interrupt signals();

/// Runs the body without the GIL; an interrupted one raises what the signal handler raised.
template <class Body>
auto without_gil(Body&& body) {
  try {
    const py::gil_scoped_release released;
    return std::forward<Body>(body)();
  } catch (const Interrupted&) {
    throw py::error_already_set();
  }
}

/// Views that live as long as a call.
class Views {
 public:
  /// The view of an array, or null for None.
  const ArrayView* add(const py::object& object) {
    if (object.is_none()) {
      return nullptr;
    }
    arrays_.push_front(py::reinterpret_borrow<py::array>(object));
    return &views_.emplace_front(view_of(arrays_.front()));
  }

 private:
  std::forward_list<py::array> arrays_;
  std::forward_list<ArrayView> views_;
};

void bind_accumulator(py::module_& m);
void bind_elementwise(py::module_& m);
void bind_plain(py::module_& m);
void bind_result_memory(py::module_& m);
void bind_rowwise(py::module_& m);
void bind_runtime(py::module_& m);
void bind_sequence(py::module_& m);
void bind_vectors(py::module_& m);

}  // namespace ndloss::binding
