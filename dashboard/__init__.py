"""A Streamlit app over run folders; charts come from `tfsparse.charts`."""
